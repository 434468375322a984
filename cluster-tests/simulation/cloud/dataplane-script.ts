/**
 * One sequence of operations on a dataplane, each with what it came to: what both dataplanes must answer alike.
 * It names what a caller can tell apart (codes, places, what was removed, whether something was there already), never
 * kernel names, indexes or pids. dataplane-conformance.test.ts runs it on the real kernel and on the simulated one.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Call } from '@photoncloud/actors/dataplane/contract/call-contract';
import type { DeviceStandings } from '@photoncloud/actors/dataplane/contract/incarnation-contract';
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import type { CheckAsk } from '@photoncloud/actors/dataplane/contract/service-contract';
import type {
  SegmentOutcome,
  SegmentReading,
  SegmentRealized,
  TapReading,
} from '@photoncloud/actors/dataplane/contract/network-contract';
import {
  nextCall,
  openRule,
  ownerOf,
  segmentAsk,
  tapSpec,
  testNetwork,
  type TestProof,
} from '@photoncloud/actors/dataplane/dataplane-for-tests';
import type {
  Elements,
  IncarnationSpec,
  NetworkSpec,
  RouteSpec,
  TapProof,
  TapSpec,
} from '@photoncloud/machines/values/wiring';

type StepResult = readonly [step: string, result: unknown];

/** Records the result of an operation as `reduce` reduces it, or the group and code of its error. */
export type Step = <Result>(step: string, work: Promise<Result>, reduce?: (result: Result) => unknown) => Promise<void>;

export function recorder(): { readonly results: StepResult[]; readonly step: Step } {
  const results: StepResult[] = [];
  return {
    results,
    step: async (step, work, reduce = (result) => result) => {
      try {
        results.push([step, reduce(await work)]);
      } catch (error) {
        if (!(error instanceof PhotonError)) throw error;
        results.push([step, `${error.record.group} ${error.record.code}`]);
      }
    },
  };
}

const { segment } = segmentAsk();
const realize = (dp: Dataplane, more: Parameters<typeof segmentAsk>[0] = {}) =>
  dp.realizeSegment(segmentAsk(more), nextCall());
const change = (dp: Dataplane, section: string, to: number, put: Elements, removed: Elements = {}) =>
  dp.changeSegment({ segment, changes: [{ section, to, put, removed }] }, nextCall());
const routeTo = (host: number): Elements => ({ '10.77.1.90': { address: '10.77.1.90', host } satisfies RouteSpec });
const network = (more: Partial<NetworkSpec>): Elements => ({ 'network/acme/front': testNetwork(more) });

/** Generations, and codes of what failed. */
const outcome = ({ proven, failed }: SegmentOutcome) => [
  proven,
  Object.entries(failed).map(([name, { code, retryable }]) => [name, code, retryable]),
];
const proofOf = ({ proof }: SegmentRealized) => proof as unknown as TestProof;
const mtusOf = (made: SegmentRealized) => Object.values(proofOf(made).bridges).map(({ mtu }) => mtu);

const tap = tapSpec();
const later = (spec: TapSpec, runEpoch: number): TapSpec => ({ ...spec, owner: { ...spec.owner, runEpoch } });
const peer = { name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1_470 };
const seenTap = ({ place, carrier, drift }: TapReading) => [place, carrier, drift.length === 0];

/** Of a segment that stands, without ports; it stands as it did afterwards. */
async function sectionScript(dp: Dataplane, step: Step): Promise<void> {
  await step(
    'what is not there',
    dp.readSegment(segmentAsk({ peers: [peer], routes: [{ address: '10.77.1.90', host: 2 }] }), nextCall()),
    ({ drift }) => drift,
  );
  await step('a route', change(dp, 'routes', 2, routeTo(2)), outcome);
  await step('another is not there', change(dp, 'routes', 3, {}, routeTo(3)), outcome);
  await step(
    'the route stands',
    dp.readSegment(segmentAsk({ routes: [{ address: '10.77.1.90', host: 2 }] }), nextCall()),
    ({ drift }) => drift,
  );
  await step('the route back', change(dp, 'routes', 4, {}, routeTo(2)), outcome);
  await step(
    'it is gone',
    dp.readSegment(segmentAsk({ routes: [{ address: '10.77.1.90', host: 2 }] }), nextCall()),
    ({ drift }) => drift,
  );
  await step('a peer that narrows', change(dp, 'overlay', 2, { mtu: 1_420, 'peer/w2': peer }), outcome);
  await step('a peer less', change(dp, 'overlay', 3, { mtu: 1_450 }, { 'peer/w2': peer }), outcome);
  await step('another VNI by increment', change(dp, 'overlay', 4, { vni: 9 }), outcome);
  const back = testNetwork({
    network: 'network/acme/more',
    subnets: [{ name: 'a', cidr: '10.79.1.0/24', gateway: '10.79.1.1' }],
  });
  await step('a second network', change(dp, 'networks', 2, { [back.network]: back }), outcome);
  await step(
    'both stand',
    dp.readSegment(segmentAsk({ networks: [testNetwork(), back] }), nextCall()),
    ({ drift }) => drift,
  );
  await step('the second less', change(dp, 'networks', 3, {}, { [back.network]: back }), outcome);
  await step('the first stands', dp.readSegment(segmentAsk(), nextCall()), ({ drift }) => drift);
  const dhcp = { ...testNetwork().dhcp, dns: ['1.1.1.1'] };
  await step('other options', change(dp, 'networks', 4, network({ dhcp })), outcome);
  await step('the old ones', dp.readSegment(segmentAsk(), nextCall()), ({ drift }) => Object.keys(drift));
  await step('a bad option', change(dp, 'networks', 5, network({ dhcp: { ...dhcp, dns: ['x'] } })), outcome);
  await step('as it was', realize(dp), outcome);
}

const web = 'security-group/acme/web';
const webRules = [
  { ...openRule('ingress'), protocol: 'tcp', ports: { from: 80, to: 80 } },
  openRule('egress'),
] as const;

/** Sections of security groups, of a segment that stands; without them afterwards. */
async function groupScript(dp: Dataplane, step: Step): Promise<void> {
  const groups = { [web]: { rules: webRules } };
  const members = { '10.77.1.90': { groups: [web] } };
  const drifting = ({ drift }: SegmentReading) => Object.keys(drift);
  const ask = segmentAsk({ groups: { [web]: webRules }, members: { '10.77.1.90': [web] } });
  await step('no rules and no members', dp.readSegment(ask, nextCall()), drifting);
  await step('rules of a group', change(dp, 'security-groups', 2, groups), outcome);
  await step('a member', change(dp, 'group-members', 2, members), outcome);
  await step('both stand', dp.readSegment(ask, nextCall()), drifting);
  await step('other rules', change(dp, 'security-groups', 3, { [web]: { rules: [openRule('egress')] } }), outcome);
  await step('the rules from before', dp.readSegment(ask, nextCall()), drifting);
  const bad = { ...openRule('ingress'), ports: { from: 80, to: 80 } };
  await step('ports of every protocol', change(dp, 'security-groups', 4, { [web]: { rules: [bad] } }), outcome);
  const named = { ...openRule('ingress'), remote: { group: 'web' } };
  await step('a group by its name', change(dp, 'security-groups', 4, { [web]: { rules: [named] } }), outcome);
  await step('a member of no group', change(dp, 'group-members', 3, { '10.77.1.90': { groups: ['web'] } }), outcome);
  await step('an address that is none', change(dp, 'group-members', 3, { '10.77.1': { groups: [] } }), outcome);
  await step('no member', change(dp, 'group-members', 4, {}, members), outcome);
  await step('no group', change(dp, 'security-groups', 5, {}, groups), outcome);
  await step('neither again', change(dp, 'group-members', 5, {}, members), outcome);
  await step('as before', dp.readSegment(segmentAsk(), nextCall()), drifting);
}

/** Of a tap that is wired; with its first groups afterwards. */
async function regroupScript(dp: Dataplane, step: Step): Promise<void> {
  const groupsOf = ({ groups }: TapProof) => groups;
  const both = { ...tap, groups: [...tap.groups, web] };
  await step('a group more, unknown yet', dp.wireTap(both, nextCall()), groupsOf);
  await step('read with its groups', dp.readTap(both, nextCall()), seenTap);
  await step('read with other groups', dp.readTap(tap, nextCall()), ({ drift, proof }) => [drift, proof?.groups]);
  await step('no groups', dp.wireTap({ ...tap, groups: [] }, nextCall()), groupsOf);
  await step('read without', dp.readTap(tap, nextCall()), ({ drift, proof }) => [drift, proof?.groups]);
  await step('a group that is none', dp.wireTap({ ...tap, groups: ['web'] }, nextCall()));
  await step('a group twice', dp.wireTap({ ...tap, groups: [web, web] }, nextCall()));
  await step('the first again', dp.wireTap(tap, nextCall()), groupsOf);
}

async function pairScript(dp: Dataplane, step: Step): Promise<void> {
  const pairsOf = ({ pairs }: TapProof) => pairs;
  const pair = (last: number, mac = tap.mac) => ({ address: `10.77.1.${last}`, mac });
  const paired = { ...tap, pairs: [pair(201), pair(202, '00:00:5e:00:01:09')] };
  await step('pairs', dp.wireTap(paired, nextCall()), pairsOf);
  await step('read with its pairs', dp.readTap(paired, nextCall()), seenTap);
  await step('read without its pairs', dp.readTap(tap, nextCall()), ({ drift }) => drift);
  const one = { ...tap, pairs: [pair(201)] };
  await step('a pair less', dp.wireTap(one, nextCall()), pairsOf);
  await step('read with what it had', dp.readTap(paired, nextCall()), ({ drift }) =>
    drift.includes('no route to its pair 10.77.1.202'),
  );
  await step('a pair that is its own address', dp.wireTap({ ...tap, pairs: [pair(11)] }, nextCall()));
  const unguarded = { ...tap, portSecurity: false };
  await step('without port security', dp.wireTap(unguarded, nextCall()), pairsOf);
  await step('read as one without', dp.readTap(unguarded, nextCall()), seenTap);
  await step('read as one with', dp.readTap(tap, nextCall()), ({ drift }) => drift);
  await step('with port security again', dp.wireTap(tap, nextCall()), pairsOf);
}

/** Of a tap that is wired as the active one, as afterwards. */
async function standbyScript(dp: Dataplane, step: Step): Promise<void> {
  const waiting = { ...tap, activeHost: 2 };
  await step('it stands by', dp.wireTap(waiting, nextCall()), ({ standby }) => standby);
  await step('read as one that stands by', dp.readTap(waiting, nextCall()), seenTap);
  await step('read as the active one', dp.readTap(tap, nextCall()), ({ drift }) => drift);
  await step('a host that is none', dp.wireTap({ ...tap, activeHost: 0 }, nextCall()));
  await step('it has the address', dp.wireTap(tap, nextCall()), ({ standby = false }) => standby);
  await step('read with the address', dp.readTap(tap, nextCall()), seenTap);
  await step('read as if it stood by', dp.readTap(waiting, nextCall()), ({ drift }) => drift);
}

/** Of a backend without a verdict: the first result ends it. */
const checkOf = (address: string): CheckAsk => ({
  spec: {
    serviceIp: 'service-ip/acme/web',
    vpc: segment.vpc,
    check: { protocol: 'tcp', port: 80, path: '/', intervalSeconds: 1, timeoutSeconds: 1, rise: 1, fall: 1 },
  },
  backends: [{ address, healthy: null, streak: 0, detail: '' }],
  once: false,
});

export async function networkScript(dp: Dataplane, step: Step): Promise<void> {
  const { sections } = segmentAsk();
  await step('routes before the segment', change(dp, 'routes', 2, routeTo(2)), outcome);
  await step('groups before the segment', change(dp, 'security-groups', 2, { [web]: { rules: [] } }), outcome);
  await step('members before the segment', change(dp, 'group-members', 2, {}), outcome);
  await step(
    'read before the segment',
    dp.readSegment({ segment, sections: { overlay: sections.overlay } }, nextCall()),
  );
  await step('tap before the segment', dp.createTap(tap, nextCall()), ({ place }) => place);
  await step('wiring before the segment', dp.wireTap(tap, nextCall()));
  await step('checks before the segment', dp.checkBackends(checkOf('10.77.1.90'), nextCall()));
  await step(
    'networks without an overlay',
    dp.realizeSegment({ segment, sections: { networks: sections.networks } }, nextCall()),
    outcome,
  );
  await step('an MTU that does not fit', realize(dp, { networks: [testNetwork({ mtu: 1_490 })] }), outcome);
  await step('a VNI that is none', realize(dp, { vni: 0 }), outcome);
  await step(
    'a section that is none',
    dp.realizeSegment({ segment, sections: { none: sections.routes } }, nextCall()),
    outcome,
  );
  let proof = '';
  await step('segment', realize(dp), (made) => {
    proof = JSON.stringify(made);
    return [outcome(made), mtusOf(made)];
  });
  await step('the same segment', realize(dp), (made) => JSON.stringify(made) === proof);
  await step('read', dp.readSegment(segmentAsk(), nextCall()), ({ drift }) => drift);
  await step('a backend that is not there', dp.checkBackends(checkOf('10.77.1.90'), nextCall()), (all) =>
    all.map(({ healthy }) => healthy),
  );
  await sectionScript(dp, step);
  await groupScript(dp, step);
  await step('an unknown network', dp.wireTap({ ...tap, network: 'network/acme/back' }, nextCall()));
  await step('wiring', dp.wireTap(tap, nextCall()), ({ mtu, dhcpHost }) => [mtu, dhcpHost]);
  await step('wiring again', dp.wireTap(tap, nextCall()), ({ mtu, dhcpHost }) => [mtu, dhcpHost]);
  await step('read the tap', dp.readTap(tap, nextCall()), seenTap);
  await regroupScript(dp, step);
  await pairScript(dp, step);
  await standbyScript(dp, step);
  await step('a segment in use', dp.removeSegment(segment, nextCall()));
  await step('a tap nobody holds is made anew', dp.createTap(tap, nextCall()), ({ place }) => place);
  await step('an older fence', dp.createTap(tap, nextCall({ version: 0 })));
  await step('an older era', dp.createTap(tap, nextCall({ era: 0 })));
  await step('a later run', dp.createTap(later(tap, 3), nextCall()), ({ place }) => place);
  await step('an earlier run', dp.createTap(later(tap, 2), nextCall()));
  await step('removal by an earlier run', dp.removeTap(later(tap, 2), nextCall()));
  await step('a MAC that is none', dp.createTap({ ...later(tap, 3), mac: 'none' }, nextCall()));
  await step('wired by the later run', dp.wireTap(later(tap, 3), nextCall()), ({ mtu }) => mtu);
  await step('read by the later run', dp.readTap(later(tap, 3), nextCall()), seenTap);
  await step('read by another run', dp.readTap(later(tap, 4), nextCall()), seenTap);
  await step('a second port', dp.createTap(tapSpec(12), nextCall()), ({ place }) => place);
  await step('the second wired', dp.wireTap(tapSpec(12), nextCall()), ({ dhcpHost }) => dhcpHost);
  await step('removal', dp.removeTap(later(tap, 3), nextCall()));
  await step('removal again', dp.removeTap(later(tap, 3), nextCall()));
  await step('read what is gone', dp.readTap(tap, nextCall()), seenTap);
  const owners = async (): Promise<string[]> => [segment.owner.actor];
  await step('a sweep takes the second', dp.sweep({ owners }, nextCall()), ({ removed, failed }) => [
    removed.map(({ what, owner }) => [what, owner?.actor]),
    failed.length,
  ]);
  await step('the segment, empty', dp.removeSegment(segment, nextCall()));
  await step('the segment, gone', dp.removeSegment(segment, nextCall()));
}

/** A volume that is served to runs of this and of another host. */
export async function exportScript(dp: Dataplane, step: Step): Promise<void> {
  const owner = ownerOf('volume-export/acme/shared@w1');
  const volumeUid = 'SHARED';
  const disk = { owner: ownerOf('replica/acme/shared@w1'), volumeUid, serial: 'SERIAL', sizeMib: 4 };
  const serve = (floor: number, clients: readonly number[], host = 'w2') =>
    dp.ensureExports(
      { owner: { ...owner, runEpoch: floor }, volumeUid, clients: clients.map((runEpoch) => ({ runEpoch, host })) },
      nextCall(),
    );
  const seen = (served: Awaited<ReturnType<typeof serve>>) =>
    served.map(({ runEpoch, source }) => [runEpoch, source.export.split('.').slice(0, 2), source.address === null]);
  await step('nothing to serve', serve(1, [1]));
  await step('nobody may use it', serve(1, []), seen);
  await step('its bytes', dp.ensureReplica({ ...disk, format: 'raw', image: null }, nextCall()), (one) => one.created);
  await step('served', serve(1, [1]), seen);
  await step('to a second run', serve(1, [1, 2]), seen);
  await step('to the second alone', serve(2, [2]), seen);
  await step('to the first again', serve(2, [1, 2]));
  await step('by an older word', serve(1, [1]));
  await step('to one of this host', serve(3, [3], 'w1'), seen);
  await step('every run is cut', dp.removeExports({ owner: { ...owner, runEpoch: 3 }, volumeUid }, nextCall()));
  await step('again', dp.removeExports({ owner: { ...owner, runEpoch: 3 }, volumeUid }, nextCall()));
  await step('an older run than was cut', serve(3, [2]));
  await step('the bytes go', dp.removeReplica({ owner: disk.owner, volumeUid }, nextCall()));
}

export async function incarnationScript(dp: Dataplane, step: Step): Promise<void> {
  const nic = { port: tap.port, binding: tap.owner.actor, bindingUid: tap.owner.uid, mac: tap.mac, mtu: tap.mtu };
  const incarnation = (runEpoch = 1): IncarnationSpec => ({
    owner: ownerOf('incarnation/acme/web@w1', runEpoch),
    vm: 'vm/acme/web',
    cpus: 1,
    memoryMib: 64,
    machineType: null,
    boot: null,
    nics: [nic],
    disks: [{ volume: 'volume/acme/data', volumeUid: 'DISK', serial: 'SERIAL', format: 'raw' }],
  });
  const run = tapSpec(11, { owner: { ...tap.owner, runEpoch: 7 } });
  const start = (spec: IncarnationSpec, call: Call = nextCall()) => dp.startIncarnation(spec, call);
  const started = (one: { started: boolean; runStatus: string }) => [one.started, one.runStatus];
  const disk = { owner: ownerOf('replica/acme/disk@w1'), volumeUid: 'DISK', serial: 'SERIAL', sizeMib: 4 };
  await step('without a tap', start(incarnation()));
  await step('its tap', dp.createTap(run, nextCall()), ({ place }) => place);
  await step('without a disk', start(incarnation()));
  await step('its disk', dp.ensureReplica({ ...disk, format: 'raw', image: null }, nextCall()), (one) => one.created);
  await step('resumed before', dp.resumeIncarnation(incarnation(), nextCall()));
  const resize = { incarnation: incarnation(), volumeUid: 'DISK', sizeMib: 8 };
  await step('resized before', dp.resizeDisk(resize, nextCall()));
  const plug = { incarnation: incarnation(), disks: incarnation().disks };
  await step('plugged before', dp.plugDevices(plug, nextCall()));
  await step('stopped before', dp.stopIncarnation({ incarnation: incarnation(), graceMs: 0 }, nextCall()));
  await step('started', start(incarnation()), started);
  await step('taken up again', start(incarnation()), started);
  await step('a held tap', dp.createTap(run, nextCall()), ({ place }) => place);
  await step('cleaned too early', dp.cleanIncarnation(incarnation(), nextCall()));
  const anew = { ...incarnation().owner, uid: '01TESTUID0000000000000000B', runEpoch: 2 };
  await step('a later life too early', start({ ...incarnation(), owner: anew }));
  await step(
    'a rival for the disk',
    start({ ...incarnation(), owner: ownerOf('incarnation/acme/rival@w1'), nics: [] }),
  );
  const runStatus = (resumed: { readonly runStatus: string }) => resumed.runStatus;
  const verbs = ['resume', 'resume', 'pause', 'pause', 'reset', 'resume', 'reset'] as const;
  for (const verb of verbs) await step(verb, dp[`${verb}Incarnation`](incarnation(), nextCall()), runStatus);
  await step('read', dp.readIncarnation(incarnation(), nextCall()), (one) => [
    one.presence,
    one.runStatus,
    one.guestMacs,
  ]);
  await step('resized, but not shared', dp.resizeDisk(resize, nextCall()));
  await step('plugged, without ports', dp.plugDevices(plug, nextCall()));
  await step('figures of its disk', dp.readVolumeFigures('DISK'), (all) => all.map((one) => Object.keys(one.figures)));
  await step('a guest without an agent', dp.readGuest(incarnation().owner.actor), ({ answers }) => answers);
  await step('no guest', dp.readGuest('incarnation/acme/none@w1'), ({ answers }) => answers);
  await step('its segment', realize(dp), outcome);
  await step('wired', dp.wireTap(run, nextCall()), ({ dhcpHost }) => dhcpHost);
  await step('its tap read', dp.readTap(run, nextCall()), seenTap);
  await step('a held tap in its segment', dp.createTap(run, nextCall()), ({ place }) => place);
  const watch = dp.watchIncarnation(incarnation(), nextCall());
  await step('stopped', dp.stopIncarnation({ incarnation: incarnation(), graceMs: 0 }, nextCall()));
  await step('what the watch saw', watch, ({ reason }) => reason);
  await step('a later watch', dp.watchIncarnation(incarnation(), nextCall()), ({ reason }) => reason);
  await step('cleaned', dp.cleanIncarnation(incarnation(), nextCall()));
  await step('cleaned again', dp.cleanIncarnation(incarnation(), nextCall()));
  await step('a dead tap is made anew', dp.createTap(run, nextCall()), ({ place }) => place);
  const next: IncarnationSpec = { ...incarnation(2), diskSlots: 1, nicSlots: 2 };
  await step('the next run', start(next), started);
  await nicScript(dp, step, next);
  await step('the run before', start(incarnation(1)));
  await step('swept', dp.sweep({ owners: async () => [] }, nextCall()), ({ failed }) => failed);
  await step('all that is left', dp.residue(), (items) => items.filter(({ what }) => what !== 'file'));
}

/** A NIC comes to a run; to take one away is up to a guest. */
async function nicScript(dp: Dataplane, step: Step, incarnation: IncarnationSpec): Promise<void> {
  const second = tapSpec(24, { owner: ownerOf('binding/acme/web-24.eth0@w1', 1, '01TESTUID0000000000000000C') });
  const { owner, port, mac, mtu } = second;
  const nic = { port, binding: owner.actor, bindingUid: owner.uid, mac, mtu };
  const plug = (wired: readonly string[]) => {
    const { disks, nics } = incarnation;
    return dp.plugDevices({ incarnation, disks, nics: [...nics, nic], wired }, nextCall());
  };
  const came = ({ disks, nics }: DeviceStandings) =>
    [...disks, ...nics].map(({ standing, error }) => error?.code ?? standing);
  await step('a NIC without a tap', plug([]), came);
  await step('the tap of the NIC', dp.createTap(second, nextCall()), ({ place }) => place);
  await step('opened', plug([]), came);
  await step('opened again', plug([]), came);
  await step('its tap is held', dp.createTap(second, nextCall()), ({ place }) => place);
  await step('given to the guest', plug([nic.binding]), came);
  await step('found with the guest', plug([]), came);
}
