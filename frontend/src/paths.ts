/**
 * The addresses of the page's sections. The server (api/web_page.py) and nginx.conf answer each of them with the page;
 * tests/web/test_static_files.py compares them with this list.
 */
export const PATHS = {
  search: "/",
  library: "/library",
  status: "/status",
  job: "/jobs/:upload",
} as const;

export const jobPath = (upload: string): string => PATHS.job.replace(":upload", encodeURIComponent(upload));

/** The address of an image, opened in the library. */
export const libraryImagePath = (imageId: string): string =>
  `${PATHS.library}?view=${encodeURIComponent(imageId)}`;
