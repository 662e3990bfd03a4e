import { useStats } from "@/api/queries";

/** Whether the running model reads text; undefined until the server has answered. True if the request fails. */
export function useReadsText(): boolean | undefined {
  const { data, isError } = useStats();
  return data?.model.towers.includes("text") ?? (isError ? true : undefined);
}
