/** A region that stands below the log of its primary, filled over a bus that loses nothing but what the test cuts. */
import { afterEach, describe, expect, it } from 'vitest';
import { carriesImages, decodeImages, decodeShipped } from '../../../regions/bus/core/messages.ts';
import { openRegionReceiver, Receiving } from '../../../regions/replication/receiving.ts';
import { Shipping } from '../../../regions/replication/shipping.ts';
import { runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { epoch, mainBranch, regionId, zeroLsn } from '../../../storage/redo/ids.ts';
import { disabledTelemetry, type Telemetry } from '../../../telemetry/index.ts';
import { ids, reign, SixNodes } from '../../storage/node/refilled-nodes.ts';
import { eventually, silent } from '../../storage/region-harness.ts';

const [east, west] = [regionId('us-east-1'), regionId('eu-west-1')];
const forks = [{ epoch: reign, branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }];

class TwoRegions {
  readonly primary = new SixNodes({ pages: 200, batchBytes: 64 * 1024 });
  readonly secondary = new SixNodes({ pages: 200 });
  imageBytes = 0;
  redoBytes = 0;
  isCut = false;
  shipping: Shipping | null = null;
  receiving: Receiving | null = null;
  readonly spans: string[] = [];
  private toWest: ((message: { data: Uint8Array }) => void) | null = null;

  async start(): Promise<void> {
    await this.primary.start(...ids);
    await this.secondary.startSilently(...ids);
  }

  ship(): void {
    this.shipping = new Shipping(
      {
        cluster: 'test',
        from: east,
        secondaries: [west],
        region: this.primary.region,
        remembered: {},
        onStalled: () => undefined,
        bounds: { windowBytes: 256 * 1024, messageBytes: 32 * 1024, queueMs: 200 },
        log: silent,
        connect: () => ({
          maxPayloadBytes: 1_048_576,
          publish: (_subject, data) => {
            if (this.isCut) return 'sent';
            const images = carriesImages(data) ? decodeImages(data) : null;
            const redo = images === null ? decodeShipped(data) : null;
            if (images?.kind === 'ok') this.imageBytes += images.value.pages.length * 4096;
            if (redo?.kind === 'ok') this.redoBytes += redo.value.next - redo.value.start;
            queueMicrotask(() => this.toWest?.({ data }));
            return 'sent';
          },
          close: () => Promise.resolve(),
        }),
      },
      { head: reign, forks, vdl: zeroLsn },
    );
    // As the agent tells it, which asks its nodes.
    this.shipping.durable(this.primary.end);
  }

  receive(): void {
    this.receiving = new Receiving({
      cluster: 'test',
      region: west,
      nodes: this.secondary.region,
      connection: {
        publish: (_subject, data) => {
          if (!this.isCut) queueMicrotask(() => this.shipping?.acked(data));
          return 'sent';
        },
        subscribe: (_subject, handler) => {
          this.toWest = handler as unknown as (message: { data: Uint8Array }) => void;
          return () => {
            this.toWest = null;
          };
        },
      },
      recover: async (goal) => {
        const result = await runRecovery(this.secondary.links, goal, { timeoutMs: 5_000 });
        return result.kind === 'recovered' ? result.outcome : null;
      },
      openReceiver: (at, on) => openRegionReceiver(this.secondary.region, at, on),
      onJoined: () => undefined,
      telemetry: this.telemetry,
      log: silent,
    });
  }

  private get telemetry(): Telemetry {
    return Object.assign(Object.create(disabledTelemetry), {
      record: ({ name }: { readonly name: string }) => void this.spans.push(name),
    });
  }

  get isLevel(): boolean {
    return this.receiving?.position.vdl === this.primary.end;
  }

  async close(): Promise<void> {
    this.receiving?.close();
    await this.shipping?.close();
    await this.primary.close();
    await this.secondary.close();
  }
}

let two: TwoRegions;
afterEach(() => two.close());

describe('a region below the retained log', () => {
  it('a new one is filled with images and then with redo, and has what the primary has', {
    timeout: 60_000,
  }, async () => {
    two = new TwoRegions();
    await two.start();
    await two.primary.write(4_000);
    await two.primary.collect();
    two.ship();
    two.receive();
    const said: string[] = [];
    await eventually(
      'it is level',
      () => {
        const { needsImages } = two.shipping?.lag()[0] ?? {};
        if (typeof needsImages === 'string' && said.at(-1) !== needsImages) said.push(needsImages);
        return two.isLevel;
      },
      40_000,
    );
    expect(said.some((text) => /\d+ % of about \d+ bytes/.test(text))).toBe(true);
    expect(two.imageBytes).toBe(200 * 4096);
    expect(two.redoBytes).toBeLessThan(two.primary.end / 4);
    expect(two.spans).toEqual(['bootstrap']);
    two.secondary.end = two.primary.end;
    for (const id of ids) await eventually(`${id} is complete`, () => two.secondary.isComplete(id));
    for (const id of ids)
      expect(Buffer.concat((await two.secondary.read(id)) as Uint8Array[])).toEqual(
        Buffer.concat((await two.primary.read(ids[0] as never)) as Uint8Array[]),
      );
  });

  it('R63: goes on where it stood after the link is cut, either agent is killed, and writes go on', {
    timeout: 60_000,
  }, async () => {
    two = new TwoRegions();
    await two.start();
    await two.primary.write(4_000);
    await two.primary.collect();
    two.ship();
    two.receive();
    for (const harm of ['cut', 'primary', 'secondary'] as const) {
      const before = two.imageBytes;
      await eventually('some pages more are there', () => two.imageBytes > before + 60 * 1024, 20_000);
      await two.primary.write(50);
      two.shipping?.durable(two.primary.end);
      if (harm === 'cut') {
        two.isCut = true;
        await new Promise((resolve) => setTimeout(resolve, 500));
        two.isCut = false;
      } else if (harm === 'primary') {
        await two.shipping?.close();
        two.ship();
      } else {
        two.receiving?.close();
        two.receive();
      }
    }
    await eventually('it is level', () => two.isLevel, 30_000);
    // A window at most comes twice for each harm.
    expect(two.imageBytes).toBeLessThanOrEqual(200 * 4096 + 3 * 256 * 1024);
    two.secondary.end = two.primary.end;
    for (const id of ids) await eventually(`${id} is complete`, () => two.secondary.isComplete(id));
    expect(Buffer.concat((await two.secondary.read(ids[1] as never)) as Uint8Array[])).toEqual(
      Buffer.concat((await two.primary.read(ids[0] as never)) as Uint8Array[]),
    );
  });

  it('R62: one above the floor gets redo only', async () => {
    two = new TwoRegions();
    await two.start();
    await two.primary.write(200);
    two.ship();
    two.receive();
    await eventually('it is level', () => two.isLevel);
    await two.primary.write(200);
    await eventually('it is level', () => two.isLevel);
    await two.primary.collect();
    await two.primary.write(200);
    await eventually('it is level', () => two.isLevel);
    expect(two.imageBytes).toBe(0);
  });
});
