/**
 * The floors of src/, the lowest first. A module imports from floors below its own and from its own folder: what two
 * folders of one floor share belongs to a floor below them. A name without a slash is a folder or a file of src/.
 */
const FLOORS = [
  ["digest", "paths", "api"],
  ["format", "image-names"],
  ["ui"],
  ["query", "status"],
  ["viewer"],
  ["search", "library"],
  ["shell"],
  ["chunks"],
  ["app"],
  ["main"],
];

const RULE = "Imports run downwards: see FLOORS in eslint.layers.js.";

/** Refuses static and dynamic imports, types too, of modules that are not on a lower floor. */
export const layers = FLOORS.flatMap((floor, at) =>
  floor.map((name) => {
    const refused = FLOORS.slice(at)
      .flat()
      .filter((other) => other !== name);
    const pattern = `^@/(${refused.join("|")})(/|$)`;
    return {
      files: [`src/${name}/**`, `src/${name}.{ts,tsx}`],
      rules: {
        "no-restricted-imports": [
          "error",
          {
            patterns: [
              {
                regex: "^\\.",
                message: "Import as @/folder/module, so that the rule on floors can read it.",
              },
              ...(refused.length > 0 ? [{ regex: pattern, message: RULE }] : []),
            ],
          },
        ],
        "no-restricted-syntax": [
          "error",
          ...(refused.length > 0
            ? [
                {
                  selector: `ImportExpression[source.value=/${pattern.replaceAll("/", "\\/")}/]`,
                  message: RULE,
                },
              ]
            : []),
        ],
      },
    };
  }),
);

/** A module that is on no floor is refused too, so that a new folder gets one. */
layers.unshift({
  files: ["src/**/*.{ts,tsx}"],
  ignores: [
    "src/test-setup.ts",
    ...FLOORS.flat().flatMap((name) => [`src/${name}/**`, `src/${name}{,.test}.{ts,tsx}`]),
  ],
  rules: { "no-restricted-syntax": ["error", { selector: "Program", message: `On no floor. ${RULE}` }] },
});
