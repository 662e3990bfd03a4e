import { describe, expect, it } from "vitest";
import {
  queryFromText,
  isSearchable,
  readTyped,
  withImage,
  withPicture,
  wordsOf,
  fileOf,
} from "@/query/query-parts";
import type { Part } from "@/query/search-state";

const text = (words: string, weight = 1): Part => ({ kind: "text", text: words, weight });
const image = (id: string, weight = 1): Part => ({ kind: "image", id, weight });
const url = (address: string): Part => ({ kind: "url", url: address, weight: 1 });

describe("what is typed", () => {
  it.each([
    ["two dogs", [], "two dogs"],
    ["  HTTPS://example.org/a.jpg ", ["HTTPS://example.org/a.jpg"], ""],
    ["https://example.org/a.jpg  at   night", ["https://example.org/a.jpg"], "at night"],
    [
      "like http://a.org/1.png and http://b.org/2.png",
      ["http://a.org/1.png", "http://b.org/2.png"],
      "like and",
    ],
    ["http and https:// are words", [], "http and https:// are words"],
  ])("%j is read as addresses and words", (typed, urls, words) => {
    expect(readTyped(typed)).toEqual({ urls, words });
  });
});

describe("the query", () => {
  it("takes the words of the box in place of its own, which keep their weight", () => {
    expect(queryFromText([image("a"), text("dogs", 0.5)], "cats")).toEqual([image("a"), text("cats", 0.5)]);
    expect(queryFromText([image("a"), text("dogs")], " ")).toEqual([image("a")]);
    expect(queryFromText([], "cats")).toEqual([text("cats")]);
  });

  it("takes an address of the box in place of its pictures", () => {
    expect(queryFromText([image("a"), text("dogs")], "http://b.org/c.png dogs")).toEqual([
      url("http://b.org/c.png"),
      text("dogs"),
    ]);
  });

  it("keeps its words beside another picture", () => {
    expect(withPicture([image("a"), text("dogs")], { kind: "image", id: "b" })).toEqual([
      image("b"),
      text("dogs"),
    ]);
  });

  it("has an indexed image once, for or against", () => {
    expect(withImage([image("a"), image("b")], "a", -0.5)).toEqual([image("b"), image("a", -0.5)]);
  });

  it("looks for something", () => {
    expect(isSearchable([])).toBe(false);
    expect(isSearchable([image("a", -0.5)])).toBe(false);
    expect(isSearchable([image("a", -0.5), text("dogs", 0.5)])).toBe(true);
  });

  it("shows its first words", () => {
    expect(wordsOf([image("a"), text("dogs"), text("cats")])).toBe("dogs");
  });
});

it.each([
  ["https://example.org/a/red%20bus.jpg?size=2", "red bus.jpg"],
  ["http://127.0.0.1:8000/100%.png", "100%.png"],
  ["https://www.example.org/", "example.org"],
  ["no address", "no address"],
])("the picture at %s is called %s", (url, name) => {
  expect(fileOf(url)).toBe(name);
});
