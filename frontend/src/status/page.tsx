import { type ReactNode, useEffect, useState } from "react";
import { useHealth } from "@/api/connection";
import { useJobs, useStats } from "@/api/queries";
import type { Stats } from "@/api/types";
import { count, duration, percent, plural } from "@/format";
import { CacheUse } from "@/status/cache-use";
import { Badge } from "@/status/badge";
import { conditionOf } from "@/status/condition";
import { JobLine } from "@/status/job";
import { add, rates, type Sample, sampleOf } from "@/status/history";
import { Sparkline } from "@/status/sparkline";
import { useTitle } from "@/ui/hooks";
import { Icon, type IconName } from "@/ui/icons";
import { Failure } from "@/ui/notes";

const POLL_MS = 2000;

export default function StatusPage() {
  useTitle("Status");
  const stats = useStats(POLL_MS);
  const health = useHealth();
  const jobs = useJobs(POLL_MS);
  const [history, setHistory] = useState<Sample[]>([]);
  useEffect(() => {
    if (stats.data) setHistory((before) => add(before, sampleOf(stats.data, stats.dataUpdatedAt)));
  }, [stats.data, stats.dataUpdatedAt]);

  if (!stats.data) {
    return (
      <div className="flex-1 py-10">
        <h1 className="sr-only">Status</h1>
        {stats.isError && <Failure error={stats.error} onRetry={() => void stats.refetch()} />}
      </div>
    );
  }
  const { model, text_model: texts, collection, queue, cache } = stats.data;
  const lookups = rates(history, (sample) => sample.lookups);
  const condition = conditionOf(health.data, health.isError, model);

  return (
    <div className="mx-auto w-full max-w-[88rem] flex-1 px-4 py-6 sm:px-6 lg:px-8 lg:py-8">
      <div className="mb-6 flex flex-wrap items-center justify-between gap-3">
        <div>
          <h1 className="text-2xl font-semibold tracking-tight">Status</h1>
          <p className="text-sm text-muted">
            Version {stats.data.version}, up {duration(stats.data.uptime_seconds)}
          </p>
        </div>
        <Badge {...condition} />
      </div>

      {stats.data.recommendations.length > 0 && (
        <ul role="list" className="mb-5 space-y-2">
          {stats.data.recommendations.map((text) => (
            <li key={text} className="flex gap-3 rounded-2xl bg-warn-soft px-4 py-3 text-sm text-warn">
              <Icon name="warning" className="size-5" />
              {text}
            </li>
          ))}
        </ul>
      )}

      <div className="grid gap-4 sm:grid-cols-2 xl:grid-cols-4">
        <Chart
          title="Images"
          figure={count(collection.images)}
          note={searchedHow(stats.data)}
          values={history.map(({ images }) => images)}
        />
        <Chart
          title="Queue"
          figure={count(queue.depth)}
          note={`of ${count(queue.limit)} queue slots in use`}
          values={history.map((sample) => sample.queue)}
        />
        <Chart
          title="Cache lookups"
          figure={`${(lookups.at(-1) ?? 0).toFixed(1)}/s`}
          note={overall(history)}
          values={lookups}
        />
        <Chart
          title="Import jobs"
          figure={count(stats.data.jobs?.waiting ?? 0)}
          note={stats.data.jobs ? jobsNote(stats.data.jobs) : "not available here"}
          values={history.map(({ waiting }) => waiting)}
        />
      </div>

      <div className="mt-4 grid gap-4 lg:grid-cols-2">
        <Card title="Model" icon="sparkle">
          <Facts
            facts={[
              ["Name", model.name],
              ["Device", model.device],
              ["Precision", model.precision],
              ["Dimension", count(model.dimension)],
              ["Encodes", model.towers.join(" and ")],
              ["Text model", texts ? textModel(texts) : "none"],
              ["Collection", collection.name],
            ]}
          />
          {model.fallback_reason && (
            <p className="mt-3 rounded-xl bg-warn-soft px-3 py-2 text-sm text-warn">
              Using the small offline model instead of the configured one: {model.fallback_reason}
            </p>
          )}
        </Card>
        <Card title="Services" icon="status">
          <ul role="list" className="divide-y divide-line">
            {Object.entries(health.data?.services ?? {}).map(([name, service]) => (
              <li key={name} className="flex items-center justify-between gap-4 py-2.5 text-sm">
                <span className="first-letter:uppercase">{name.replaceAll("_", " ")}</span>
                <span
                  className="min-w-0 flex-1 truncate text-right text-muted"
                  title={service.detail ?? undefined}
                >
                  {service.detail}
                </span>
                <Badge
                  tone={service.status === "ok" ? "good" : "bad"}
                  text={service.status === "ok" ? "ok" : "down"}
                />
              </li>
            ))}
          </ul>
        </Card>
        <Card title="Cache" icon="clock">
          {cache.length === 0 && <p className="text-sm text-muted">The cache is turned off.</p>}
          <div className="space-y-5">
            {cache.map((tier) => (
              <CacheUse key={tier.tier} tier={tier} />
            ))}
          </div>
        </Card>
        <Card title="Latest import jobs" icon="library">
          {jobs.data?.uploads.length === 0 && (
            <p className="text-sm text-muted">None yet. Add images in the library to start one.</p>
          )}
          <ul role="list" className="divide-y divide-line">
            {jobs.data?.uploads.map((job) => (
              <li key={job.upload}>
                <JobLine job={job} />
              </li>
            ))}
          </ul>
        </Card>
      </div>
    </div>
  );
}

function searchedHow({ collection }: Stats): string {
  if (collection.images === 0) return "add some in the library";
  if (collection.indexed_vectors === 0) return "exact search";
  return `${percent(Math.min(1, collection.indexed_vectors / collection.images))} in the search index`;
}

function textModel({ name, loaded, max_tokens }: NonNullable<Stats["text_model"]>): string {
  return `${name}, reads ${count(max_tokens)} tokens${loaded ? "" : ", not loaded yet"}`;
}

function jobsNote({ kind, workers, dead_letters }: NonNullable<Stats["jobs"]>): string {
  const who =
    kind === "in_process"
      ? "processed by the server"
      : workers === null
        ? "on RabbitMQ"
        : plural(workers, "worker");
  return dead_letters > 0 ? `${who}, ${count(dead_letters)} given up` : `chunks waiting, ${who}`;
}

function overall(history: Sample[]): string {
  const last = history.at(-1);
  return last && last.lookups > 0
    ? `${percent(last.hits / last.lookups)} hits since the start`
    : "no lookups yet";
}

function Chart({
  title,
  figure,
  note,
  values,
}: {
  title: string;
  figure: string;
  note: string;
  values: number[];
}) {
  return (
    <section className="card flex flex-col overflow-hidden" aria-label={title}>
      <div className="p-5 pb-3">
        <h2 className="text-sm text-muted">{title}</h2>
        <p className="mt-1 text-3xl font-semibold tracking-tight tabular-nums">{figure}</p>
        <p className="mt-1 text-sm text-muted">{note}</p>
      </div>
      <div className="mt-auto">
        <Sparkline values={values} label={`${title} over the last minutes`} />
      </div>
    </section>
  );
}

function Card({ title, icon, children }: { title: string; icon: IconName; children: ReactNode }) {
  return (
    <section className="card p-5" aria-label={title}>
      <h2 className="mb-3 flex items-center gap-2 font-semibold">
        <Icon name={icon} className="size-[1.125rem] text-muted" />
        {title}
      </h2>
      {children}
    </section>
  );
}

function Facts({ facts }: { facts: [string, string][] }) {
  return (
    <dl className="divide-y divide-line text-sm">
      {facts.map(([name, value]) => (
        <div key={name} className="flex justify-between gap-4 py-2.5">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 text-right wrap-anywhere">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
