import { useState } from "react";
import { Link } from "wouter";
import { FAILURES, useJob } from "@/api/queries";
import type { UploadDocument } from "@/api/types";
import { count, moment, plural } from "@/format";
import { Badge } from "@/status/badge";
import { conditionOfJob, Progress } from "@/status/job";
import { Button, buttonClass } from "@/ui/button";
import { useTitle } from "@/ui/hooks";
import { Icon } from "@/ui/icons";
import { Failure } from "@/ui/notes";
import { PATHS } from "@/paths";

const POLL_MS = 2000;

/** One bulk job: how far it is, and what became of the images that are not in. */
export default function JobPage({ params: { upload } }: { params: { upload: string } }) {
  useTitle("Import job");
  const [offset, setOffset] = useState(0);
  const job = useJob(upload, offset, POLL_MS);

  return (
    <div className="mx-auto w-full max-w-[60rem] flex-1 px-4 py-6 sm:px-6 lg:px-8 lg:py-8">
      <Link href={PATHS.status} className={buttonClass("quiet", "mb-2 -ml-3")}>
        <Icon name="left" className="size-4" />
        Status
      </Link>
      {job.data ? (
        <Report job={job.data} offset={offset} onPage={setOffset} />
      ) : (
        <>
          <h1 className="sr-only">Import job</h1>
          {job.isError && <Failure error={job.error} onRetry={() => void job.refetch()} />}
        </>
      )}
    </div>
  );
}

function Report({
  job,
  offset,
  onPage,
}: {
  job: UploadDocument;
  offset: number;
  onPage: (offset: number) => void;
}) {
  const { counts } = job;
  const figures: [string, number][] = [
    ["Added", counts.indexed],
    ["Replaced", counts.replaced],
    ["Already there", counts.unchanged],
    ["Failed", counts.failed],
    ["To do", counts.total - counts.processed],
  ];
  return (
    <>
      <div className="mb-6 flex flex-wrap items-center justify-between gap-3">
        <div>
          <h1 className="text-2xl font-semibold tracking-tight">Import of {plural(counts.total, "image")}</h1>
          <p className="text-sm text-muted">
            Started {moment(job.created_at)}
            {job.finished_at !== null && `, ended ${moment(job.finished_at)}`}
          </p>
        </div>
        <Badge {...conditionOfJob(job)} />
      </div>
      {job.finished_at === null && <Progress job={job} className="mb-4" />}
      <dl className="card grid grid-cols-2 gap-4 p-5 sm:grid-cols-5">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt className="text-sm text-muted">{name}</dt>
            <dd
              className={`text-2xl font-semibold tabular-nums ${name === "Failed" && value > 0 ? "text-danger" : ""}`}
            >
              {count(value)}
            </dd>
          </div>
        ))}
      </dl>
      {counts.failed > 0 && <Failures job={job} offset={offset} onPage={onPage} />}
    </>
  );
}

function Failures({
  job: { counts, failures },
  offset,
  onPage,
}: {
  job: UploadDocument;
  offset: number;
  onPage: (offset: number) => void;
}) {
  return (
    <section aria-labelledby="failures" className="card mt-4 p-5">
      <h2 id="failures" className="mb-1 font-semibold">
        What could not be added
      </h2>
      <ul role="list" className="divide-y divide-line text-sm">
        {failures.map(({ image_id, reason }, index) => (
          <li key={offset + index} className="grid gap-x-6 py-2.5 sm:grid-cols-[2fr_3fr]">
            <span className="font-medium wrap-anywhere">{image_id}</span>
            <span className="text-danger wrap-anywhere">{reason}</span>
          </li>
        ))}
      </ul>
      {counts.failed > FAILURES && (
        <nav aria-label="Failures" className="mt-4 flex items-center justify-between gap-3 text-sm">
          <Button disabled={offset === 0} onClick={() => onPage(Math.max(0, offset - FAILURES))}>
            Earlier
          </Button>
          <span aria-live="polite" className="text-muted tabular-nums">
            {count(offset + 1)} to {count(offset + failures.length)} of {count(counts.failed)}
          </span>
          <Button disabled={offset + FAILURES >= counts.failed} onClick={() => onPage(offset + FAILURES)}>
            Later
          </Button>
        </nav>
      )}
    </section>
  );
}
