/** How the console is built, served while developing, and unit-tested. */
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** Where a development server finds the API. */
const API = process.env['FAULTLINE_API'] ?? 'http://127.0.0.1:7480'

export default defineConfig({
  plugins: [react()],
  // Workers load the land that they need, when they need it.
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // Every file is served from the binary: nothing may become a `data:` URL, which the content
    // security policy refuses.
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        advancedChunks: {
          groups: [
            { name: 'react', test: /node_modules[\\/](react|react-dom|scheduler)[\\/]/ },
            {
              name: 'tanstack',
              test: /node_modules[\\/]@tanstack[\\/](react-router|router-core|history|react-query|query-core|react-store|store)[\\/]/,
            },
          ],
        },
      },
    },
  },
  server: {
    proxy: { '/api/': { target: API, changeOrigin: true } },
  },
  test: {
    include: ['src/**/*.test.{ts,tsx}'],
    environment: 'node',
    env: { TZ: 'Europe/Berlin' },
  },
})
