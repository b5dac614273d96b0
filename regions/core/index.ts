/** The door to the pure regions core. */
export * from './clock-offset.ts';
export * from './commit-marks.ts';
export * from './control-port.ts';
export * from './control-record.ts';
export * from './lease.ts';
export * from './limits.ts';
export * from './loss-report.ts';
export * from './messages.ts';
export * from './operations.ts';
export * from './receiver.ts';
export * from './report.ts';
export * from './shipper.ts';
export * from './writer-role.ts';
