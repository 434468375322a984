/**
 * As dataplane-script.ts: a port with an address pair that stands by, gets its addresses, loses them and is removed,
 * and where the routes of these addresses lead after each step.
 */
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import type { TapReading } from '@photoncloud/actors/dataplane/contract/network-contract';
import { nextCall, segmentAsk, tapSpec } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import type { Elements, RouteSpec, TapSpec } from '@photoncloud/machines/values/wiring';
import type { Step } from './dataplane-script.ts';

const bare = tapSpec(21);
const pair = { address: '10.77.1.201', mac: bare.mac };
const tap: TapSpec = { ...bare, pairs: [pair] };
const addresses = [tap.address, pair.address];
const waiting = (host: number): TapSpec => ({ ...tap, activeHost: host });
const routesTo = (host: number): readonly RouteSpec[] => addresses.map((address) => ({ address, host }));
const drifting = ({ drift, proof }: TapReading) => [drift, proof?.standby ?? false, proof?.pairs];

export async function movesScript(dp: Dataplane, step: Step): Promise<void> {
  const { segment } = segmentAsk();
  const list = (name: string, routes: readonly RouteSpec[]) =>
    step(name, dp.realizeSegment(segmentAsk({ routes }), nextCall()), ({ failed }) => Object.keys(failed));
  let to = 1;
  const change = (name: string, put: Elements, removed: Elements = {}) => {
    to += 1;
    const changes = [{ section: 'routes', to, put, removed }];
    return step(name, dp.changeSegment({ segment, changes }, nextCall()), ({ failed }) => Object.keys(failed));
  };
  const leadTo = (name: string, host: number) =>
    step(name, dp.readSegment(segmentAsk({ routes: routesTo(host) }), nextCall()), ({ drift }) => drift);
  const elements = (host: number): Elements => Object.fromEntries(routesTo(host).map((one) => [one.address, one]));

  await list('segment', []);
  await step('tap', dp.createTap(tap, nextCall()), ({ place }) => place);
  await step('it stands by', dp.wireTap(waiting(2), nextCall()), ({ standby, pairs }) => [standby, pairs]);
  await leadTo('its addresses lead to the host that has it', 2);
  await step('to another host', dp.wireTap(waiting(3), nextCall()), ({ standby }) => standby);
  await leadTo('they lead there', 3);
  await list('a list without them', []);
  await step('it has no route', dp.readTap(waiting(3), nextCall()), drifting);
  await change('an increment brings them', elements(2));
  await step('read as it was', dp.readTap(waiting(3), nextCall()), drifting);
  await step('read as it is', dp.readTap(waiting(2), nextCall()), drifting);

  await step('it gets the addresses', dp.wireTap(tap, nextCall()), ({ standby = false, pairs }) => [standby, pairs]);
  await list('a list that says otherwise', routesTo(2));
  await step('has them still', dp.readTap(tap, nextCall()), drifting);
  await leadTo('which its own routes hide', 2);
  await change('an increment withdraws what is hidden', {}, elements(2));
  await step('has them all the same', dp.readTap(tap, nextCall()), drifting);
  await change('an increment takes them away', elements(3));
  await step('has them no more', dp.readTap(tap, nextCall()), drifting);
  await step('without the pair', dp.wireTap(bare, nextCall()), ({ pairs }) => pairs);
  await step('read without it', dp.readTap(bare, nextCall()), drifting);

  const other: TapSpec = { ...tapSpec(22), pairs: [{ ...pair, mac: tapSpec(22).mac }] };
  await step('a second tap', dp.createTap(other, nextCall()), ({ place }) => place);
  await step('has the pair', dp.wireTap(other, nextCall()), ({ pairs }) => pairs);
  await step('the first stands by', dp.wireTap({ ...bare, activeHost: 2 }, nextCall()), ({ standby }) => standby);
  await step('the second has the pair', dp.readTap(other, nextCall()), drifting);
  await step('removal of the first', dp.removeTap(bare, nextCall()));
  await step(
    'its address leads on',
    dp.readSegment(segmentAsk({ routes: [{ address: bare.address, host: 2 }] }), nextCall()),
    ({ drift }) => drift,
  );
  await step('removal of the second', dp.removeTap(other, nextCall()));
  await leadTo('nobody has the pair', 2);
  await change('nothing leads anywhere', {}, elements(2));

  const leaving = tapSpec(23);
  const elsewhere = [{ address: leaving.address, host: 2 }];
  await step('a third tap', dp.createTap(leaving, nextCall()), ({ place }) => place);
  await step('wired', dp.wireTap(leaving, nextCall()), ({ standby = false }) => standby);
  await list('a list that has its address already elsewhere', elsewhere);
  await step('has its address still', dp.readTap(leaving, nextCall()), drifting);
  await step('removal of the third', dp.removeTap(leaving, nextCall()));
  const read = dp.readSegment(segmentAsk({ routes: elsewhere }), nextCall());
  await step('its address leads there at once', read, ({ drift }) => drift);
  await step('the segment, empty', dp.removeSegment(segment, nextCall()));
}
