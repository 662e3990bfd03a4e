import { Link } from "wouter";
import type { UploadSummary } from "@/api/types";
import { count, moment, plural } from "@/format";
import type { Condition } from "@/status/condition";
import { Icon } from "@/ui/icons";
import { jobPath } from "@/paths";

const STATES: Record<UploadSummary["state"], Condition> = {
  queued: { tone: "warn", text: "waiting" },
  running: { tone: "warn", text: "running" },
  completed: { tone: "good", text: "complete" },
  completed_with_errors: { tone: "bad", text: "complete, with failures" },
  failed: { tone: "bad", text: "failed" },
  cancelled: { tone: "warn", text: "cancelled" },
};

export const conditionOfJob = ({ state }: UploadSummary): Condition => STATES[state];

/** A bulk job in a list: how many images, how it stands, and the way to its page. */
export function JobLine({ job }: { job: UploadSummary }) {
  const { counts } = job;
  return (
    <Link
      href={jobPath(job.upload)}
      className="group -mx-2 block rounded-xl px-2 py-2.5 transition-colors hover:bg-sunken"
    >
      <span className="flex flex-wrap justify-between gap-x-4 text-sm">
        <span>
          {plural(counts.total, "image")}, {STATES[job.state].text}
          {counts.failed > 0 && <span className="text-danger"> · {count(counts.failed)} failed</span>}
        </span>
        <span className="flex shrink-0 items-center gap-1 text-muted">
          {moment(job.created_at)}
          <Icon name="right" className="size-4" />
        </span>
      </span>
      {job.finished_at === null && <Progress job={job} className="mt-2" />}
    </Link>
  );
}

/** How much of a bulk job is done. */
export function Progress({ job: { counts }, className = "" }: { job: UploadSummary; className?: string }) {
  const share = counts.total > 0 ? counts.processed / counts.total : 1;
  return (
    <span
      role="progressbar"
      aria-label="Images processed"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
      className={`block h-1.5 overflow-hidden rounded-full bg-line ${className}`}
    >
      <span
        className="block h-full rounded-full bg-accent transition-[width]"
        style={{ width: `${share * 100}%` }}
      />
    </span>
  );
}
