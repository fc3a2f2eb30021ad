/// <reference types="vitest/config" />
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// `npm run dev` shows the page with the API of a running `drawdown up`.
const api = process.env.DRAWDOWN_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2023',
    // The Content-Security-Policy allows files of our own alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    emptyOutDir: true,
    // go:embed needs the folder, and git keeps this file in it.
    copyPublicDir: true,
  },
  server: { proxy: { '/v1': api, '/auth': api, '/dev-issuer': api, '/openapi.json': api, '/docs': api } },
  test: { include: ['src/**/*.test.ts', 'src/**/*.test.tsx'], environment: 'node' },
})
