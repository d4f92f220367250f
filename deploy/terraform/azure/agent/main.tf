# The agent: one small machine that replaces itself. Nothing connects to it: its network security group denies all that
# comes, and it has no public address. All that it has may be lost: the next machine gets a certificate of the same name by
# the token.

locals {
  kit    = "${path.module}/../../../instance"
  units  = "${path.module}/../../../../dist/systemd"
  is_nfs = var.share.protocol == "NFS"

  config = <<-END
    [agent]
    share = "/mnt/share"
    state = "/var/lib/outlast-agent/state"
    upstream = "${var.upstream}"
    identity = "/var/lib/outlast-agent/identity"
  END

  mount = local.is_nfs ? replace(file("${local.kit}/systemd/azure-nfs.mount"),
    "shopbackup.file.core.windows.net:/shopbackup/share",
    "${var.share.account}.file.core.windows.net:/${var.share.account}/${var.share.share}",
    ) : replace(file("${local.kit}/systemd/azure-smb.mount"),
    "//shopbackup.file.core.windows.net/share",
    "//${var.share.account}.file.core.windows.net/${var.share.share}",
  )

  user_data = join("\n", ["#cloud-config", yamlencode({
    write_files = concat(
      [
        { path = "/etc/outlast/agent.toml", permissions = "0644", content = local.config },
        { path = "/etc/systemd/system/mnt-share.mount", permissions = "0644", content = local.mount },
        {
          path        = "/etc/systemd/system/outlast-agent.service"
          permissions = "0644"
          content     = file("${local.units}/outlast-agent.service")
        },
        {
          path        = "/etc/systemd/system/outlast-agent.service.d/group.conf"
          permissions = "0644"
          content     = "[Service]\nSupplementaryGroups=backup-share\n"
        },
        {
          path        = "/usr/local/lib/outlast/prepare-agent"
          permissions = "0755"
          content = templatefile("${path.module}/prepare.sh.tftpl", {
            key_vault = var.key_vault
            secret    = var.token_secret
          })
        },
      ],
      local.is_nfs ? [] : [
        {
          path        = "/etc/outlast/smb-secret.env"
          permissions = "0644"
          content     = "SMB_ACCOUNT=${var.share.account}\nKEY_VAULT=${var.key_vault}\nKEY_VAULT_SECRET=${var.share_secret}\n"
        },
        {
          path        = "/usr/local/lib/outlast/azure-smb-secret"
          permissions = "0755"
          content     = file("${local.kit}/azure-smb-secret")
        },
        {
          path        = "/etc/systemd/system/outlast-smb-secret.service"
          permissions = "0644"
          content     = file("${local.kit}/systemd/outlast-smb-secret.service")
        },
      ],
    )
    runcmd = concat(
      [["install", "-d", "-m", "0755", "/mnt/share"], ["systemctl", "daemon-reload"]],
      local.is_nfs ? [] : [["systemctl", "enable", "--now", "outlast-smb-secret.service"]],
      [
        ["systemctl", "enable", "--now", "mnt-share.mount"],
        # What fails is tried again: the machine may be up before its identity may do anything.
        ["sh", "-c", "for i in 1 2 3 4 5 6; do /usr/local/lib/outlast/prepare-agent && break; sleep 20; done"],
        ["systemctl", "enable", "--now", "outlast-agent.service"],
      ],
    )
  })])
}

resource "azurerm_network_security_group" "agent" {
  name                = "outlast-agent-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}

# Before the rules that Azure adds, which would let the network and its load balancers in.
resource "azurerm_network_security_rule" "nothing_comes_in" {
  name                        = "nothing-comes-in"
  resource_group_name         = var.resource_group_name
  network_security_group_name = azurerm_network_security_group.agent.name
  priority                    = 100
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  destination_port_range      = "*"
  source_address_prefix       = "*"
  destination_address_prefix  = "*"
}

resource "azurerm_user_assigned_identity" "agent" {
  name                = "outlast-agent-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}

# These two secrets, and no other of the Key Vault.
resource "azurerm_role_assignment" "secret" {
  for_each             = toset(local.is_nfs ? [var.token_secret] : [var.token_secret, var.share_secret])
  scope                = "${var.key_vault_id}/secrets/${each.value}"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.agent.principal_id
}

# A scale set of one: a machine that fails is replaced.
resource "azurerm_linux_virtual_machine_scale_set" "agent" {
  name                = "outlast-agent-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  sku                 = var.size
  instances           = 1
  # Never two: the next one revokes the certificate of the last.
  overprovision   = false
  source_image_id = var.image_id
  admin_username  = "outlast-admin"
  custom_data     = base64encode(local.user_data)
  upgrade_mode    = "Manual"

  admin_ssh_key {
    username   = "outlast-admin"
    public_key = var.admin_ssh_public_key
  }
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.agent.id]
  }
  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "StandardSSD_LRS"
  }
  network_interface {
    name                      = "agent"
    primary                   = true
    network_security_group_id = azurerm_network_security_group.agent.id
    ip_configuration {
      name      = "agent"
      primary   = true
      subnet_id = var.subnet_id
    }
  }
  tags = var.tags
}
