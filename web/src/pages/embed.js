// The embed page: the player and, when asked for, the chat.

import {chatBeside, wantsChat} from '../chat/index.js';
import {pageParams, streamName} from '../lib/params.js';
import {makePlayer} from './player.js';

const stream = streamName();
document.title = stream;
const params = pageParams(stream);
const player = makePlayer(stream, params);
const chat = wantsChat(params.query, false) && chatBeside(player, stream, params.token);
document.body.classList.toggle('with-chat', Boolean(chat));
document.body.append(player, ...(chat ? [chat.element] : []));
