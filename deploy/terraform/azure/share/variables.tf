variable "name" {
  description = "The storage account, which is unique in all of Azure: 3 to 24 lower-case letters and digits."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]{3,24}$", var.name))
    error_message = "A storage account's name is 3 to 24 lower-case letters and digits."
  }
}

variable "resource_group_name" {
  description = "The resource group of everything that is made."
  type        = string
}

variable "location" {
  description = "The region, such as westeurope."
  type        = string
}

variable "protocol" {
  description = <<-END
    SMB or NFS. SMB is encrypted on the way and needs the account's key. NFS needs a premium account and no secret: whoever reaches the
    private endpoint is believed, and the way is not encrypted.
  END
  type        = string
  default     = "SMB"
  validation {
    condition     = contains(["SMB", "NFS"], var.protocol)
    error_message = "protocol is SMB or NFS."
  }
}

variable "replication" {
  description = "LRS (three copies in one datacenter) or ZRS (in three zones). Drops are on the share for hours."
  type        = string
  default     = "ZRS"
}

variable "quota_gib" {
  description = "The size of the share: what is dropped between two of its drops being released, for all workloads. A premium share costs what is provisioned."
  type        = number
  default     = 256
  validation {
    condition     = var.quota_gib >= 100 && var.quota_gib <= 102400
    error_message = "quota_gib is 100 to 102400."
  }
}

variable "virtual_network_id" {
  description = "The network in which instances and the agent run: the share's private name is known there."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the private endpoint."
  type        = string
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
