import { Link } from "wouter";
import { useStats } from "@/api/queries";
import { Icon } from "@/ui/icons";
import { PATHS } from "@/paths";

/** A strip under the header while the server runs another model than the configured one. */
export function StandInBanner() {
  const model = useStats().data?.model;
  if (!model?.fallback_reason) return null;
  return (
    <p role="note" className="bg-warn-soft px-4 py-2 text-center text-sm text-pretty text-warn">
      <Icon name="warning" className="mr-2 inline size-4 align-text-bottom" />
      Searching with the small offline model ({model.name}), so results are less exact.{" "}
      <Link href={PATHS.status} className="font-medium underline underline-offset-4">
        Why?
      </Link>
    </p>
  );
}
