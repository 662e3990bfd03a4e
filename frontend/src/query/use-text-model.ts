import { useStats } from "@/api/queries";

/** Whether the running model reads words; undefined until the server has said so. A server that does not say, may. */
export function useReadsText(): boolean | undefined {
  const { data, isError } = useStats();
  return data?.model.towers.includes("text") ?? (isError ? true : undefined);
}
