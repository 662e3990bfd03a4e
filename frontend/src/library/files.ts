/** What a folder may hold beside images is passed over; what the server cannot read is named by the server. */
const EXTENSION = /\.(jpe?g|jfif|png|gif|webp|bmp|tiff?|avif|heic|heif)$/i;

export const isImage = (file: File): boolean => file.type.startsWith("image/") || EXTENSION.test(file.name);

/** The name of an image, with its folders if the browser gives them. */
export function imageName(file: File & { path?: string; relativePath?: string }): string {
  const given = [file.webkitRelativePath, file.relativePath, file.path, file.name];
  const path = given.find((name) => name !== undefined && name !== "") ?? "";
  return path.replace(/^\.?\/+/, "");
}
