# What a node of the declared cluster is besides photoncloud, as far as a configuration needs it to be built: a disk
# with the label nixos and a boot loader. Hosts of one's own bring their hardware configuration instead.
{
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  boot.loader.grub.enable = false;
  boot.loader.systemd-boot.enable = true;
  system.stateVersion = "26.11";
}
