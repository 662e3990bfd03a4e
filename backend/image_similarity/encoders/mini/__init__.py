"""The offline model `mini`, whose weights are in pip packages."""
