/** How redo leaves and arrives, besides what every region's agent has. */
import type { ReceivingOptions } from '../replication/receiving.ts';
import type { ShippingOptions } from '../replication/shipping.ts';

export type ReplicationParts = Pick<
  ShippingOptions,
  'region' | 'connect' | 'bounds' | 'codec' | 'onStalled' | 'onShipped' | 'onReplicated'
> &
  Pick<ReceivingOptions, 'openReceiver'>;
