/** The description of the shown state, and what the actor waits for now. */
import { exitText } from '../chart-table.ts';
import type { Chart } from '../chart-ir.ts';
import { activeStates } from '../chart-trace.ts';
import type { ChartMeanings } from '../state-meaning.ts';
import type { ActorDetail } from './inspector-feed.ts';
import { MeaningSign, waitingGlyphs } from './page-frame.tsx';
import { clockText, dueText, timeText } from './time-text.ts';

/** The description of the current state, and below it that of a state selected in the chart. */
export function StatePanel(props: { chart: Chart; state: unknown; picked: string | null; meanings: ChartMeanings }) {
  const lit = [...activeStates(props.state).lit];
  const shown = props.chart.states.filter((state) => lit.includes(state.id));
  const picked =
    props.picked === null || lit.includes(props.picked)
      ? undefined
      : props.chart.states.find((state) => state.id === props.picked);
  return (
    <section class="panel" aria-label="State">
      {shown.map((state) => (
        <p key={state.id}>
          <MeaningSign meaning={props.meanings[state.id] ?? 'changing'} /> <strong>{state.id}</strong>{' '}
          {state.description}
        </p>
      ))}
      {picked !== undefined && (
        <details open>
          <summary>
            <strong>{picked.id === '' ? props.chart.kind : picked.id}</strong>{' '}
            <span class="muted">(selected in the chart)</span>
          </summary>
          <p>{picked.description}</p>
          <ul class="waits">
            {props.chart.transitions
              .filter((transition) => transition.source === picked.id)
              .map((transition) => (
                <li key={transition.id}>
                  <span aria-hidden="true">▸</span>
                  <span>{exitText(transition)}</span>
                </li>
              ))}
          </ul>
        </details>
      )}
    </section>
  );
}

/** @param props.asOf when the server was heard last, if it is not heard now: what was due since then is unknown */
export function NowPanel(props: { detail: ActorDetail; now: number; asOf: number | null; gone: boolean }) {
  const { detail, asOf } = props;
  const now = asOf ?? props.now;
  const nothing = detail.effects.length === 0 && detail.timers.length === 0 && detail.hold === null;
  if (props.gone) return null;
  return (
    <section class="panel" aria-label="Waiting for">
      <h2>Waits for {asOf !== null && <span class="as-of">as of {timeText(asOf)}</span>}</h2>
      <ul class="waits">
        {detail.hold !== null && (
          <li>
            <span aria-hidden="true">{waitingGlyphs.operator}</span>
            <span>an operator, before anything else</span>
            <span />
          </li>
        )}
        {detail.effects.map((effect) => (
          <li key={effect.effectId} title={effect.effectId}>
            <span aria-hidden="true">{waitingGlyphs.effect}</span>
            <span>
              effect <strong>{effect.type}</strong>{' '}
              <span class="muted">requested by {effect.stateId || 'the root'}</span>
            </span>
            <span class="muted">pending</span>
          </li>
        ))}
        {detail.timers.map((timer) => (
          <li key={timer.timerId} title={clockText(timer.dueMs)}>
            <span aria-hidden="true">{waitingGlyphs.timer}</span>
            <span>
              timer <TimerName eventType={timer.eventType} kind={detail.id.split('/')[0] ?? ''} />
            </span>
            <span class="timer">{dueText(timer.dueMs - now)}</span>
          </li>
        ))}
        {nothing && (
          <li>
            <span aria-hidden="true">{waitingGlyphs.event}</span>
            <span>the next event; nothing is pending</span>
            <span />
          </li>
        )}
      </ul>
    </section>
  );
}

/** `xstate.after.bootDeadline.job.starting` is the timer bootDeadline of the state starting, for the kind `job`. */
function TimerName(props: { eventType: string; kind: string }) {
  const match = /^xstate\.after\.([^.]+)\.(.+)$/.exec(props.eventType);
  if (match === null) return <strong>{props.eventType}</strong>;
  const [, name = '', node = ''] = match;
  const owner = node.startsWith(`${props.kind}.`) ? node.slice(props.kind.length + 1) : node;
  return (
    <>
      <strong>{name}</strong> <span class="muted">of {owner}</span>
    </>
  );
}
