/**
 * Browser tests against a real server, which `cargo xtask test` starts and names in the
 * environment.
 */
import { defineConfig } from '@playwright/test'

export default defineConfig({
  testDir: './e2e',
  // One server, one inventory: the journeys share it, so they run in order.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    baseURL: process.env['FAULTLINE_E2E_URL'] ?? 'http://127.0.0.1:7480',
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    actionTimeout: 20_000,
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu'],
    },
  },
})
