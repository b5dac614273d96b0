/** The door to the admin API: its table of routes and what mounts it. Apart, since a gateway takes over before it has loaded this. */
export { openapi } from './api/core/openapi.ts';
export { type Admission, mountApi, type Right } from './api/mount.ts';
export { type DrillLink, drillLink } from './drills/run/drill-link.ts';
