import { expect, it } from "vitest";
import { shortcutKey } from "@/ui/keys";

it.each([
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "⌘"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "⌘"],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Ctrl"],
  ["Mozilla/5.0 (X11; Linux x86_64)", "Ctrl"],
])("the key for shortcuts of %s is %s", (userAgent, key) => {
  expect(shortcutKey(userAgent)).toBe(key);
});
