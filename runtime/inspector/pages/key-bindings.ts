/**
 * Keyboard shortcuts of the pages: one listener, inactive while a form field has the focus; Escape leaves the field.
 */
import { useEffect, useRef } from 'preact/hooks';

export type KeyMap = Readonly<Record<string, () => void>>;

export function useKeys(keys: KeyMap): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target instanceof HTMLElement ? event.target : null;
      const typing = target !== null && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
      if (typing && event.key !== 'Escape') return;
      const pressesItself = target !== null && /^(BUTTON|A|SUMMARY)$/.test(target.tagName);
      if (event.key === 'Enter' && pressesItself) return;
      const task = latest.current[event.key];
      if (task === undefined || document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      if (typing) target.blur();
      else task();
    };
    addEventListener('keydown', listen);
    return () => removeEventListener('keydown', listen);
  }, []);
}
