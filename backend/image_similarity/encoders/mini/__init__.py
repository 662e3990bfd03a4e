"""The offline model `mini`, whose weights come with pip packages."""
