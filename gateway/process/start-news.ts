/** The part of a gateway that exchanges news: its own report, those of others, and the live feed of them. */
import type { ClusterView, Report } from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import { upgradeGrant } from '../access/admission.ts';
import { LiveFeed } from '../admin/watch.ts';
import { type ConsolePage, consolePage } from '../console/console-page.ts';
import { liveEvent } from '../console/core/live-event.ts';
import { LiveStream } from '../console/live-stream.ts';
import { latencyBoundsMs } from '../observe/core/write-load.ts';
import { Reporter } from './gateway-report.ts';
import { GatewayStatus } from './gateway-status.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { SqlPart } from './start-sql.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import type { VolumePart } from './start-volume.ts';

export interface NewsPart {
  /** The deployment as it was last heard of. */
  readonly view: ClusterView;
  readonly status: GatewayStatus;
  readonly reporter: Reporter;
  readonly feed: LiveFeed;
  readonly page: ConsolePage;
  /** What its open pages are told. */
  readonly live: LiveStream;
}

export function startNewsPart(
  setup: GatewaySetup,
  { nats, view }: ControlPart,
  observed: TelemetryPart,
  storage: VolumePart,
  sql: SqlPart,
): NewsPart {
  const { config, options, limits, auth } = setup;
  const { cluster, region, secret } = config;
  const { role } = storage;
  const status = new GatewayStatus(setup, observed, storage, sql, view);
  const feed = new LiveFeed({
    limits,
    status: () => JSON.stringify(view.status(monotonicMs())),
    grant: (request) => upgradeGrant(request, auth, secret),
    lapsed: (grant) => auth.lapsed(grant),
  });
  const page = consolePage();
  const jaegerUrl = config.jaegerUrl ?? null;
  const live = new LiveStream({
    limits,
    event: () => {
      const { gateway } = config;
      const about = { region, gateway, version: options.version, page: page.version(), jaegerUrl };
      const facts = { about, view, readiness: status.takeover(), boundsMs: latencyBoundsMs };
      return JSON.stringify(liveEvent(facts, monotonicMs(), Date.now()));
    },
  });
  const report = () => status.report();
  const onHeard = (heard: Report): void => {
    feed.changed();
    if (heard.kind === 'gateway' && heard.phase === 'writing') live.nudge();
  };
  const reporter = new Reporter({ nats, cluster, region, view, report, onHeard });
  role.watch(() => {
    if (role.record !== null) view.saw(role.record);
    reporter.publish();
    feed.changed();
    live.nudge();
  });
  return { view, status, reporter, feed, page, live };
}
