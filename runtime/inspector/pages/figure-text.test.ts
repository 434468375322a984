/** Words of figures, as the page of an actor and `photon describe` show them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { figureText, figureWord } from './figure-text.ts';

test('figures in words', () => {
  assert.equal(['allocatedBytes', 'readOperations', 'flushes'].map(figureWord), [
    'allocated',
    'read operations',
    'flushes',
  ]);
  assert.is(figureText('allocatedBytes', 12_582_912), '12.0 MiB');
  assert.is(figureText('readOperations', 4_096), '4096');
});

test.run();
