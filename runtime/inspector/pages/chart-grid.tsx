/** The chart as a table, as complete as the picture; it can be read without seeing the picture. */
import { useEffect, useRef } from 'preact/hooks';
import type { Chart } from '../chart-ir.ts';
import { tableOf } from '../chart-table.ts';
import { activeStates } from '../chart-trace.ts';

export function ChartGrid(props: { chart: Chart; state: unknown }) {
  const { lit } = activeStates(props.state);
  const body = useRef<HTMLTableSectionElement>(null);
  const current = [...lit].join();
  useEffect(() => body.current?.querySelector('.lit')?.scrollIntoView({ block: 'center' }), [current]);
  const list = (texts: readonly string[]) => (
    <ul>
      {texts.map((text, index) => (
        <li key={index}>{text}</li>
      ))}
    </ul>
  );
  return (
    <div class="raw tabled">
      <table class="grid">
        <thead>
          <tr>
            <th>state</th>
            <th>description</th>
            <th>on entry</th>
            <th>deadlines</th>
            <th>transitions</th>
          </tr>
        </thead>
        <tbody ref={body}>
          {tableOf(props.chart).map((row) => (
            <tr
              key={row.state}
              class={lit.has(row.state) ? 'lit' : ''}
              aria-current={lit.has(row.state) ? 'true' : undefined}
            >
              <td>
                <strong>
                  {lit.has(row.state) ? '▸ ' : ''}
                  {row.state}
                </strong>
                <br />
                <span class="muted">{row.marks.join(', ')}</span>
              </td>
              <td>{row.description}</td>
              <td>{list(row.asks)}</td>
              <td class="timer">{list(row.deadlines)}</td>
              <td>{list(row.exits)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
