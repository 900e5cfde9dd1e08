// Which step of a rollout a file is of. Knows nothing of the editor, so that Node can test it.

/** The step whose name stands in a file's path, by whole segments: `1` is not in `11/x.yaml`. */
export function stepOf(name: string, steps: readonly string[]): string | undefined {
  return steps.find((step) => `/${name}/`.includes(`/${step}/`));
}
