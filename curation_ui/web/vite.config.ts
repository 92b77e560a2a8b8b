/** How the page is built: into ../static, one chunk for the first screen and one for each screen behind it. */
import { defineConfig } from 'vite';

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: '../static',
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's content policy allows no data: URLs
    modulePreload: { polyfill: false },
    target: 'es2023',
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': 'http://127.0.0.1:8484', '/media': 'http://127.0.0.1:8484' } },
});
