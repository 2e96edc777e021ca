// The embed page: the player and, when asked for, the chat.

import {pageParams, streamName} from '../lib/params.js';
import {chatFor, makePlayer} from './player.js';

const stream = streamName();
document.title = stream;
const params = pageParams(stream);
const player = makePlayer(stream, params);
const chat = chatFor(player, stream, params, false);
document.body.classList.toggle('with-chat', Boolean(chat));
document.body.append(player, ...(chat ? [chat.element] : []));
