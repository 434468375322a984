/** Lays out charts on a thread of its own: a layout would block a node's event loop for hundreds of ms. */
import { parentPort } from 'node:worker_threads';
import { PhotonError } from '../contract/errors.ts';
import type { Chart } from './chart-ir.ts';
import { layoutChart } from './chart-layout.ts';

parentPort?.on('message', (chart: Chart) => {
  layoutChart(chart).then(
    (placed) => parentPort?.postMessage({ placed }),
    (error: unknown) => {
      const message = error instanceof PhotonError ? error.message : `The layout failed: ${String(error)}`;
      parentPort?.postMessage({ failure: message });
    },
  );
});
