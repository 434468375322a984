/**
 * Test support: the plain kinds as a next release would have them: counter and sink are of chart version 2 and know how
 * to take up version 1. Never used in production.
 */
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';

const next = (definition: ActorDefinition): ActorDefinition => ({
  ...definition,
  chartVersion: 2,
  upgrades: { 1: ({ state, context }) => ({ state, context: { ...(context as object), release: 2 } }) },
});

const raised: readonly string[] = ['counter', 'sink'];

export const nextRelease = (registry: ActorRegistry): ActorRegistry => ({
  kinds: new Map([...registry.kinds].map(([kind, it]) => [kind, raised.includes(kind) ? next(it) : it])),
});
