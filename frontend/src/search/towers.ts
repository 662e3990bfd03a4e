import { useStats } from "@/api/queries";

/** Whether the running model can read words. Most can; until the server has said so, we assume it. */
export function useReadsText(): boolean {
  const { data } = useStats();
  return data?.model.towers.includes("text") ?? true;
}
