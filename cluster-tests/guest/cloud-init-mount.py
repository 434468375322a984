#!/usr/bin/python3
"""mount for a machine whose kernel may lack the driver of ISO 9660: then a library of Debian reads the image.

Installed as `mount` by cloud-init-boots.sh. That Linux's own driver reads the image is another test.
"""
import os
import subprocess
import sys

import pycdlib

arguments = sys.argv[1:]
device, folder = arguments[-2:]
tried = subprocess.run(['/usr/bin/mount', *arguments], capture_output=True, text=True)
if tried.returncode == 0 or 'iso9660' not in tried.stderr:
    sys.stderr.write(tried.stderr)
    sys.exit(tried.returncode)
image = pycdlib.PyCdlib()
image.open(device)
subprocess.run(['/usr/bin/mount', '-t', 'tmpfs', 'none', folder], check=True)
for entry in image.list_children(joliet_path='/'):
    if entry.is_file():
        name = entry.file_identifier().decode('utf-16-be')
        image.get_file_from_iso(os.path.join(folder, name), joliet_path='/' + name)
