/** The page's beginning. */
import './style/base.css';
import './style/parts.css';
import { render } from 'preact';
import './theme.ts';
import { begin } from './session.tsx';
import { Shell } from './shell.tsx';

render(<Shell />, document.body);
void begin();
