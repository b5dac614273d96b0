/** Tells everybody how this gateway is, a few times a second and at each change. News, not truth: nothing is decided by it. */

import {
  type ClusterView,
  type GatewayReport,
  type NatsConnection,
  type Report,
  ReportPace,
  ReportReader,
  reportLimits,
  subjectsOf,
} from '../../regions/index.ts';
import { everyBeside, monotonicMs, type RegionId } from '../../storage/index.ts';

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
  private readonly pace = new ReportPace();
  private readonly reader = new ReportReader();
  private readonly stopTelling: () => void;
  private readonly unsubscribe: () => void;

  constructor(options: ReporterOptions) {
    this.options = options;
    const { nats, cluster, view, onHeard } = options;
    this.unsubscribe = nats.subscribe(subjectsOf(cluster).allReports, (message) => {
      const report = this.reader.read(Buffer.from(message.data).toString('utf8'));
      if (report === null) return;
      const nowMs = monotonicMs();
      if (!view.knows(report, nowMs)) this.pace.greet();
      view.heard(report, nowMs);
      onHeard(report);
    });
    this.stopTelling = everyBeside(reportLimits.reportMs, () => this.publish());
  }

  /** Tells everybody now, unless everybody knows it. */
  publish(): void {
    const { nats, cluster, region, view, report } = this.options;
    const message = { kind: 'gateway' as const, ...report() };
    const nowMs = monotonicMs();
    view.heard(message, nowMs);
    const text = this.pace.next(message, nowMs);
    if (text !== null) nats.publish(subjectsOf(cluster).report(region), Buffer.from(text));
  }

  close(): void {
    this.stopTelling();
    this.unsubscribe();
  }
}
