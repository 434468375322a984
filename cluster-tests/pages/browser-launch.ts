/** Starts the distribution's headless browser without background traffic. Used by the browser tests of this folder. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

/** Undefined when no browser is installed; the Debian package is chromium. */
export const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const launchBrowser = (): Promise<Browser> => chromium.launch({ executablePath: browserPath as string, args });
