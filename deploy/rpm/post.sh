#!/bin/sh
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
if [ "$1" -gt 1 ]; then # another version was there
  if [ -d /run/systemd/system ]; then
    systemctl try-restart 'relaymesh.service' 'relaymesh@*.service' || true
  fi
else
  echo "relaymesh: look at /etc/relaymesh/config.yaml, then: systemctl enable --now relaymesh"
fi
