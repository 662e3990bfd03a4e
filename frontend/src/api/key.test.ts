// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from "vitest";
import { apiKey } from "@/api/key";

/** The other tabs, as this one hears and is heard by them. */
class OtherTabs {
  heard: unknown[] = [];
  onmessage: ((event: MessageEvent) => void) | null = null;
  postMessage(message: unknown) {
    this.heard.push(message);
  }
  say(key: string) {
    this.onmessage?.(new MessageEvent("message", { data: { key } }));
  }
}

let others: OtherTabs;
const share = () => apiKey.share((others = new OtherTabs()) as unknown as BroadcastChannel);

describe("the key, in several tabs", () => {
  beforeEach(() => sessionStorage.clear());

  it("is asked for by a new tab, which takes what it is given", () => {
    share();
    expect(others.heard).toEqual([{ key: "" }]);
    apiKey.refused(null);
    others.say("right");
    expect(apiKey.value).toBe("right");
    expect(apiKey.wanted).toBe(false);
    // An answer to what was sent before it came.
    apiKey.refused(null);
    expect(apiKey.wanted).toBe(false);
  });

  it("is given to a tab that asks, unless the server has refused it", () => {
    apiKey.set("right");
    share();
    others.say("");
    expect(others.heard).toEqual([{ key: "right" }]);
    apiKey.refused("right");
    others.say("");
    expect(others.heard).toHaveLength(1);
    // What another tab was given meanwhile takes its place.
    others.say("new");
    expect(apiKey.value).toBe("new");
  });

  it("that works is replaced by no other", () => {
    apiKey.set("right");
    share();
    others.say("wrong");
    expect(apiKey.value).toBe("right");
  });

  it("goes to the other tabs when it is entered", () => {
    share();
    apiKey.set("right");
    expect(others.heard).toContainEqual({ key: "right" });
  });
});
