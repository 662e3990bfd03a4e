/** How the key that makes shortcuts is called on this computer: Macs and their kin have one of their own. */
export const shortcutKey = (userAgent: string): string =>
  /macintosh|iphone|ipad/i.test(userAgent) ? "⌘" : "Ctrl";
