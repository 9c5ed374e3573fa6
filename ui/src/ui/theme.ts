/** Mantine's parts in the console's clothes: what they look like is decided in `tokens.css`. */

import { createTheme, type MantineColorsTuple } from '@mantine/core'

const accent: MantineColorsTuple = [
  '#eef3ff',
  '#dbe5ff',
  '#b5c9fb',
  '#8fadf7',
  '#6f94f2',
  '#4d7ae8',
  '#2f62d9',
  '#2552bd',
  '#1f459f',
  '#193a86',
]

/** Cool greys; the darker ones are the dark scheme's surfaces. */
const dark: MantineColorsTuple = [
  '#d5dae1',
  '#aab3be',
  '#8a95a3',
  '#66717f',
  '#38424e',
  '#2a323c',
  '#1c2229',
  '#14191f',
  '#0e1115',
  '#0a0d10',
]

const CLOSE = { 'aria-label': 'Close' }

export const theme = createTheme({
  primaryColor: 'accent',
  primaryShade: { light: 6, dark: 6 },
  colors: { accent, dark },
  fontFamily: 'var(--font)',
  fontFamilyMonospace: 'var(--mono)',
  defaultRadius: 6,
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontSizes: { xs: '12px', sm: '13px', md: '14px', lg: '16px', xl: '20px' },
  components: {
    Button: { defaultProps: { size: 'xs' } },
    TextInput: { defaultProps: { size: 'sm' } },
    Modal: {
      defaultProps: {
        centered: true,
        overlayProps: { backgroundOpacity: 0.5 },
        closeButtonProps: CLOSE,
      },
    },
    Drawer: { defaultProps: { closeButtonProps: CLOSE } },
    Tooltip: { defaultProps: { openDelay: 350, withArrow: true, fz: 12 } },
  },
})
