/** Tells everybody how this gateway is, a few times a second and at each change. News, not truth: nothing is decided by it. */

import {
  type ClusterView,
  type GatewayReport,
  type NatsConnection,
  parseJson,
  type Report,
  reportLimits,
  reportSchema,
  subjectsOf,
} from '../../regions/index.ts';
import { monotonicMs, type RegionId } from '../../storage/index.ts';

export interface ReporterOptions {
  readonly nats: NatsConnection;
  readonly cluster: string;
  readonly region: RegionId;
  readonly view: ClusterView;
  readonly report: () => GatewayReport;
  /** Somebody's report has been heard. */
  readonly onHeard: (report: Report) => void;
}

export class Reporter {
  private readonly options: ReporterOptions;
  private readonly timer: NodeJS.Timeout;
  private readonly unsubscribe: () => void;

  constructor(options: ReporterOptions) {
    this.options = options;
    const { nats, cluster, view, onHeard } = options;
    this.unsubscribe = nats.subscribe(subjectsOf(cluster).allReports, (message) => {
      const report = parseJson(reportSchema, Buffer.from(message.data).toString('utf8'));
      if (report.kind !== 'ok') return;
      view.heard(report.value, monotonicMs());
      onHeard(report.value);
    });
    this.timer = setInterval(() => this.publish(), reportLimits.reportMs);
    this.timer.unref();
  }

  /** Tells everybody now. */
  publish(): void {
    const { nats, cluster, region, view, report } = this.options;
    const message = { kind: 'gateway' as const, ...report() };
    view.heard(message, monotonicMs());
    nats.publish(subjectsOf(cluster).report(region), Buffer.from(JSON.stringify(message)));
  }

  close(): void {
    clearInterval(this.timer);
    this.unsubscribe();
  }
}
