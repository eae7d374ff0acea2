#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
# DynamicUser keeps the state below private/ and makes a link to it.
if [ "$1" = purge ]; then
  rm -rf /var/lib/private/relaymesh /var/lib/relaymesh /var/lib/private/relaymesh-* /var/lib/relaymesh-*
fi
