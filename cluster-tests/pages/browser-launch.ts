/** The distribution's headless browser, asking nobody but the page under test. For the browser tests beside it. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

/** undefined: none is installed; install the Debian package chromium to run these tests. */
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
