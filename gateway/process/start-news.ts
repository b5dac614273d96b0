/** The part of a gateway that exchanges news: its own report, those of others, and the live feed of them. */
import { ClusterView } from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import { upgradeGrant } from '../access/admission.ts';
import { LiveFeed } from '../admin/watch.ts';
import { Reporter } from './gateway-report.ts';
import { GatewayStatus } from './gateway-status.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { SqlPart } from './start-sql.ts';
import type { VolumePart } from './start-volume.ts';

export interface NewsPart {
  /** The deployment as it was last heard of. */
  readonly view: ClusterView;
  readonly status: GatewayStatus;
  readonly reporter: Reporter;
  readonly feed: LiveFeed;
}

export function startNewsPart(
  setup: GatewaySetup,
  { nats }: ControlPart,
  storage: VolumePart,
  sql: SqlPart,
): NewsPart {
  const { config, limits, auth } = setup;
  const { cluster, region, secret } = config;
  const { role } = storage;
  const view = new ClusterView(cluster, config.regions);
  const status = new GatewayStatus(setup, storage, sql, view);
  const feed = new LiveFeed({
    limits,
    status: () => JSON.stringify(view.status(monotonicMs())),
    grant: (request) => upgradeGrant(request, auth, secret),
    lapsed: (grant) => auth.lapsed(grant),
  });
  const report = () => status.report();
  const reporter = new Reporter({ nats, cluster, region, view, report, onHeard: () => feed.changed() });
  role.watch(() => {
    if (role.record !== null) view.saw(role.record);
    reporter.publish();
    feed.changed();
  });
  return { view, status, reporter, feed };
}
