import { expect, it } from "vitest";
import type { Health } from "@/api/types";
import { conditionOf } from "@/status/condition";

const health = (status: Health["status"]): Health => ({ status, services: {}, timestamp: "", version: "" });
const asked = { fallback_reason: null };
const standIn = { fallback_reason: "The hub does not answer." };

it("all is well only with the model that was asked for", () => {
  expect(conditionOf(health("healthy"), false, asked)).toEqual({ tone: "good", text: "All systems normal" });
  expect(conditionOf(health("healthy"), false, standIn)).toEqual({ tone: "warn", text: "Stand-in model" });
});

it("what is worse is said first", () => {
  expect(conditionOf(health("degraded"), false, standIn).text).toBe("Degraded");
  expect(conditionOf(health("healthy"), true, asked).text).toBe("Not responding");
  expect(conditionOf(undefined, false, asked)).toEqual({ tone: "warn", text: "Checking" });
});
