// The embed page: the player and nothing else.

import {pageParams, streamName} from '../lib/params.js';
import {makePlayer} from './player.js';

const stream = streamName();
document.title = stream;
document.body.append(makePlayer(stream, pageParams(stream)));
