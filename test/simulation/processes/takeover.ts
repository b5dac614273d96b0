/** A simulated gateway looks after the writer of its region as a real one does, and takes its place. */
import { z } from 'zod';
import { defaultDoubtLimits, type WriterAnswer } from '../../../gateway/reign/core/writer-doubt.ts';
import type { RoleDriver } from '../../../gateway/reign/role-driver.ts';
import { Takeover } from '../../../gateway/reign/takeover.ts';
import { parseJson } from '../../../regions/bus/core/messages.ts';
import type { Holder } from '../../../regions/control/core/control-record.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import type { BusPayload, SimContext, SimRuntime } from '../deployment/sim-types.ts';
import { silentLog } from '../ports/log.ts';
import type { RuntimeTwin } from '../ports/runtime.ts';
import { sealing } from './drivers.ts';
import type { RegionLinks } from './region-links.ts';

export interface SimTakeoverOptions {
  readonly runtime: SimRuntime;
  readonly context: SimContext;
  readonly time: RuntimeTwin;
  readonly links: RegionLinks;
  readonly region: string;
  readonly me: Holder;
  readonly role: RoleDriver;
  readonly isConnected: () => boolean;
  /** Sends a question to that gateway of the region. The bus does not say when nobody listens. */
  readonly send: (writer: Holder, question: Uint8Array) => void;
}

const pingSchema = z.strictObject({ ping: z.int() });

const encodePing = (ping: number): Uint8Array => Buffer.from(JSON.stringify({ ping }));

/** The number of a question for a sign of life, or of its answer; null when it is something else. */
export function pingIn(bytes: BusPayload): number | null {
  const parsed = parseJson(pingSchema, Buffer.from(bytes).toString('utf8'));
  return parsed.kind === 'ok' ? parsed.value.ping : null;
}

export class SimTakeover {
  private readonly options: SimTakeoverOptions;
  private readonly takeover: Takeover;
  private readonly asked = new Map<number, (answer: WriterAnswer) => void>();
  private next = 1;

  constructor(options: SimTakeoverOptions) {
    this.options = options;
    const { runtime, context, time, links, region, me, role } = options;
    this.takeover = new Takeover({
      region: regionId(region),
      me,
      role: {
        get phase() {
          return role.phase;
        },
        get record() {
          return role.record;
        },
        holderFenced(reign) {
          context.witness.fenced(region, reign);
          role.holderFenced(reign);
        },
      },
      nodes: sealing(links, time, context, region),
      ask: (writer, waitMs) => this.ask(writer, waitMs),
      isConnected: options.isConnected,
      metrics: { takenOver: () => undefined },
      log: silentLog,
      // Doubt that comes sooner than in a real gateway meets more writers that live.
      limits: {
        ...defaultDoubtLimits,
        answerMs: 200,
        silentMs: 300 + runtime.random.stream('doubt').below(1_300),
      },
      runtime: time,
    });
  }

  start(): void {
    this.takeover.start();
  }

  /** An answer to one of its questions. */
  heard(ping: number): void {
    this.asked.get(ping)?.('alive');
  }

  private ask(writer: Holder, waitMs: number): Promise<WriterAnswer> {
    const ping = this.next++;
    return new Promise((resolve) => {
      const ended = (answer: WriterAnswer): void => {
        timer.stop();
        this.asked.delete(ping);
        resolve(answer);
      };
      const timer = this.options.time.after(waitMs, () => ended('silent'));
      this.asked.set(ping, ended);
      this.options.send(writer, encodePing(ping));
    });
  }
}
